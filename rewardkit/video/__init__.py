"""Video files: read exactly the frames asked for, write h264."""

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
