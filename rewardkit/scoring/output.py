"""Where the rows of a run go."""

from __future__ import annotations

from pathlib import Path

from rewardkit.errors import OutputError
from rewardkit.scoring.journal import Journal
from rewardkit.scoring.parquet import needs_pyarrow
from rewardkit.scoring.row_folder import RowFolder, names_folder, row_files
from rewardkit.scoring.rows import ScoreHeader, ShardFormat
from rewardkit.scoring.table import ScoreTable, check_suffix, journal_path


class Out:
    """Where rows go: a file to which they are appended, one that is made of it in the end, or a folder of files."""

    def __init__(self, out: str, shards: ShardFormat, overwrite: bool) -> None:
        self._out, self._shards, self._overwrite = out, shards, overwrite
        self.rows: str | Path = out if names_folder(out) else journal_path(Path(out))
        if isinstance(self.rows, Path):
            check_suffix(Path(out))
        elif shards == "parquet":
            needs_pyarrow()

    def open(self, header: ScoreHeader) -> Journal | RowFolder:
        """What takes the rows.

        Raises:
            OutputError: it cannot be written, or holds something else.
        """
        if isinstance(self.rows, str):
            return RowFolder(self.rows, header, self._overwrite, self._shards)
        if Path(self._out).exists() and not self.rows.exists() and not self._overwrite:
            raise OutputError(
                f"{self._out} is there already and holds no rows of ours: give another --out, or --overwrite"
            )
        return Journal(self.rows, header, self._overwrite)

    def there(self) -> ScoreTable:
        """The rows that are there; none where there is nothing."""
        if isinstance(self.rows, str):
            return ScoreTable(self.rows if row_files(self.rows) else [])
        return ScoreTable(self.rows if self.rows.exists() else [])

    def collect(self) -> None:
        """Makes the file of the format asked for out of the rows, where they were collected in another."""
        if isinstance(self.rows, Path) and self.rows != Path(self._out):
            ScoreTable(self.rows).save(Path(self._out))
