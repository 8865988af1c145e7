import ast
import hashlib
import re
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rewardkit.cli import main
from rewardkit.serving import scorer_server
from rewardkit.serving.scorer_server import BadJudgeError, address, load_judge, make_server
from tests.serving.judging import BRIGHTNESS_AND_LETTERS, DIGEST, GREY, REQUEST, ask, judge_file, serving

FILE = Path(scorer_server.__file__)


def test_the_file_runs_on_python_3_8_with_its_standard_library_alone() -> None:
    tree = ast.parse(FILE.read_text(), feature_version=(3, 8))
    nodes = list(ast.walk(tree))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= set(sys.stdlib_module_names)
    with pytest.raises(SyntaxError):  # the check can fail
        ast.parse("match 1:\n    case 1: pass\n", feature_version=(3, 8))


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGINT to send")
@pytest.mark.parametrize(
    "how", [["-I", "-S", str(FILE)], ["-m", "rewardkit", "serve"]], ids=["file", "rewardkit serve"]
)
def test_a_real_process_answers_until_ctrl_c(how: list[str], tmp_path: Path) -> None:
    judge = judge_file(tmp_path, BRIGHTNESS_AND_LETTERS)
    command = [sys.executable, *how, f"{judge}:score", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = process.stderr.readline()
            assert f"{judge}:score answers at http://127.0.0.1:" in said
            url = said.partition(" answers at ")[2].partition(";")[0]
            assert ask(url, "/score", REQUEST) == (200, {"protocol": 1, "scores": [3.2, 1.2]})
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == 0
    assert out == ""
    assert err.splitlines()[-1] == "stopped"
    assert "Traceback" not in err


def test_the_card_is_what_the_file_says_and_its_hash(tmp_path: Path) -> None:
    judge = judge_file(tmp_path, BRIGHTNESS_AND_LETTERS)
    with serving(judge) as url:
        status, card = ask(url, "/card")
    assert status == 200
    assert card == {
        "protocol": 1,
        "name": "letters",
        "needs_prompt": True,
        "frames": "uniform:3",
        "score_range": [0, None],
        "unit": "letters",
        "weights_sha256": {"my_judge.py": hashlib.sha256(judge.read_bytes()).hexdigest()},
    }


def test_a_judge_imports_its_neighbours_and_hides_no_library(tmp_path: Path) -> None:
    judge_file(tmp_path, "NUMBER = 4", "neighbour_of_a_judge.py")
    code = "import neighbour_of_a_judge as n\n\ndef score(videos, prompts):\n    return [n.NUMBER] * len(videos)\n"
    with serving(judge_file(tmp_path, code, "json.py")) as url:
        assert ask(url, "/score", REQUEST)[1]["scores"] == [4, 4]


def test_frames_can_be_read_as_pictures_without_numpy(tmp_path: Path) -> None:
    code = "def score(videos, prompts):\n    return [frame[1, 0, 2] for (frame,) in videos]\n"
    pixels = b64encode(bytes(range(12))).decode()
    with serving(judge_file(tmp_path, code)) as url:
        request = {"protocol": 1, "videos": [{"shape": [1, 2, 2, 3], "frames": pixels}]}
        assert ask(url, "/score", request)[1]["scores"] == [8]  # row 1, column 0, blue


def test_requests_reach_the_judge_one_at_a_time(tmp_path: Path) -> None:
    code = """
import time
inside, most = 0, 0

def score(videos, prompts):
    global inside, most
    inside += 1
    most = max(most, inside)
    time.sleep(0.02)
    inside -= 1
    return [most] * len(videos)
"""
    with serving(judge_file(tmp_path, code)) as url, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(url, "/score", REQUEST), range(4)))
    assert answers == [(200, {"protocol": 1, "scores": [1, 1]})] * 4


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        ([], "speaks protocol 1"),
        ({**REQUEST, "protocol": 2}, "speaks protocol 1"),
        ({"protocol": 1}, "needs a list of videos"),
        ({**REQUEST, "videos": []}, "needs a list of videos"),
        ({**REQUEST, "videos": ["a.mp4", "b.mp4"]}, r"needs a shape .*got None"),
        ({**REQUEST, "videos": [GREY, {**GREY, "shape": [2, 1, 3]}]}, r"needs a shape .*got \[2, 1, 3\]"),
        ({**REQUEST, "videos": [GREY, {**GREY, "shape": [2, 1, 3, True]}]}, "needs a shape"),
        ({**REQUEST, "videos": [GREY, {**GREY, "shape": [-2, -1, 3, 3]}]}, "needs a shape"),
        ({**REQUEST, "videos": [GREY, {**GREY, "shape": [1, 1, 3, 4]}]}, "needs 3 channels"),
        ({**REQUEST, "videos": [GREY, {**GREY, "shape": [3, 1, 3, 3]}]}, "has 27 bytes: got 18"),
        ({**REQUEST, "videos": [GREY, {"shape": [1, 1, 1, 3]}]}, "frames as base64"),
        ({**REQUEST, "videos": [GREY, {**GREY, "frames": "n\xf6"}]}, "frames as base64"),
        ({**REQUEST, "videos": [GREY, {**GREY, "frames": [1, 2]}]}, "frames as base64"),
        ({**REQUEST, "prompts": None}, "needs one prompt a video: got none"),
        ({**REQUEST, "prompts": "ab"}, "null or a list of texts"),
        ({**REQUEST, "prompts": ["a", 1]}, "null or a list of texts"),
        ({**REQUEST, "prompts": ["a"]}, "got 1 prompts, 2 videos"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_request_that_is_none_gets_a_sentence(body: object, sentence: str, tmp_path: Path) -> None:
    with serving(judge_file(tmp_path, BRIGHTNESS_AND_LETTERS)) as url:
        status, answer = ask(url, "/score", body)
        assert ask(url, "/score", REQUEST)[0] == 200, "the server goes on"
    assert status == 400
    assert re.search(sentence, str(answer["error"]))


def test_other_places_and_methods_are_refused(tmp_path: Path) -> None:
    with serving(judge_file(tmp_path, DIGEST)) as url:
        assert ask(url, "/")[0] == ask(url, "/../etc/passwd")[0] == ask(url, "/card", {})[0] == 404
        assert ask(url, "/score", method="OPTIONS") == (501, {"error": "Unsupported method ('OPTIONS')"})


def test_a_judge_runs_in_the_thread_that_loaded_it(tmp_path: Path) -> None:
    code = """
import threading
loaded = threading.get_ident()

def score(videos, prompts):
    return [threading.get_ident() == loaded] * len(videos)
"""
    server = make_server(load_judge(f"{judge_file(tmp_path, code)}:score"), port=0)
    with server, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, address(server), "/score", REQUEST)
        asked.add_done_callback(lambda _: server.shutdown())
        server.serve_forever(poll_interval=0.01)
    assert asked.result() == (200, {"protocol": 1, "scores": [1, 1]})


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("raise ValueError('too\\nbright')", "my_judge.py:score raised ValueError: too"),
        ("raise SystemExit", "my_judge.py:score raised SystemExit"),
        ("return [1.0]", "my_judge.py:score gave 1 numbers for 2 videos"),
        ("return [1.0, float('nan')]", "my_judge.py:score gave nan where a finite number is expected"),
        ("return [1.0, float('-inf')]", "my_judge.py:score gave -inf where a finite number is expected"),
        ("return 1.0", "my_judge.py:score raised TypeError: 'float' object is not iterable"),
        ("return [1.0, None]", "my_judge.py:score raised TypeError: float() argument must be"),
    ],
)
def test_a_judge_that_fails_is_named_in_one_sentence(
    code: str, sentence: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(judge_file(tmp_path, f"def score(videos, prompts):\n    {code}\n")) as url:
        status, answer = ask(url, "/score", REQUEST)
    assert status == 500
    assert str(answer["error"]).startswith(sentence)
    assert "\n" not in str(answer["error"])
    if "raised" in sentence:
        assert "Traceback" in capfd.readouterr().err, "whoever runs the judge sees where it failed"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("", "has no function called 'score'"),
        ("score = 1", "has no function called 'score'"),
        ("import no_such_library", "cannot import .*ModuleNotFoundError: No module named 'no_such_library'"),
        ("raise SystemExit(3)", "cannot import .*SystemExit: 3"),
        ("def score(v, p): ...\nCARD = {'need_prompt': True}", "says need_prompt: it may say name, summary"),
        ("def score(v, p): ...\nCARD = ['name']", "must be a dict of plain values"),
        ("def score(v, p): ...\nCARD = {'name': {1, 2}}", "must be a dict of plain values"),
        ("def score(v, p): ...\nCARD = {'weights_sha256': 'abc'}", "must be a dict of plain values"),
    ],
)
def test_a_judge_that_cannot_be_loaded_is_said_so(code: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(BadJudgeError, match=sentence):
        load_judge(f"{judge_file(tmp_path, code)}:score")


@pytest.mark.parametrize("name", ["missing.py:score", "my_judge:score", "my_judge.py", ":score", ""])
def test_what_names_no_file_is_said_so(name: str) -> None:
    with pytest.raises(BadJudgeError, match=r"write FILE.py:FUNCTION"):
        load_judge(name)


def test_a_taken_port_and_a_missing_judge_exit_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    judge = f"{judge_file(tmp_path, DIGEST)}:score"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert scorer_server.main([judge, "--port", port]) == 2
        assert f"error: cannot listen at 127.0.0.1:{port}: " in capfd.readouterr().err
    assert scorer_server.main([judge, "--port", "65536"]) == 2
    monkeypatch.setattr(sys, "argv", ["rewardkit", "serve", "missing.py:score"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert capfd.readouterr().err.endswith(
        "error: the judge 'missing.py:score' is no file: write FILE.py:FUNCTION, as in my_judge.py:score\n"
    )
