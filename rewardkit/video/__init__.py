"""Video files: read exactly the frames asked for, write h264.

```
open.py             which reader for which file
file.py             what every reader gives: VideoFile and VideoInfo
container.py        mp4, mkv, avi, ts, gif, ...: seek or decode on, and check every timestamp
  timeline.py       which frames the file shows, found without decoding where that is safe
  stream.py         one decoder over one stream
  orientation.py    turn frames as the file says
  completeness.py   does the file hold all the bytes it announces?
  transport.py      does a transport stream change its codec?
pictures.py         folders of pictures, animated WebP
arrays.py           .npy and .pt
isolated.py         the same readers in processes that may crash
  decoder_process.py  what runs there
write.py            h264
levels.py           between float in [0, 1] and 8 bits
```
"""

from rewardkit.video.file import FrameReader, VideoFile, VideoInfo
from rewardkit.video.isolated import Decoders
from rewardkit.video.open import VIDEO_SUFFIXES, open_video, read_video
from rewardkit.video.pictures import IMAGE_SUFFIXES, is_animated_webp
from rewardkit.video.write import H264_SUFFIXES, write_video

__all__ = [
    "H264_SUFFIXES",
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "Decoders",
    "FrameReader",
    "VideoFile",
    "VideoInfo",
    "is_animated_webp",
    "open_video",
    "read_video",
    "write_video",
]
