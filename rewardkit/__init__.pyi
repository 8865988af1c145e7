from .bench.report import write_report as write_report
from .errors import (
    BadInputError as BadInputError,
    ConformanceError as ConformanceError,
    MissingExtraError as MissingExtraError,
    NothingToDoError as NothingToDoError,
    OutputError as OutputError,
    RewardFailedError as RewardFailedError,
    RewardkitError as RewardkitError,
    UnknownNameError as UnknownNameError,
    UnreadableVideoError as UnreadableVideoError,
    UsageError as UsageError,
)
from .reducers.aggregation import (
    LogMeanExp as LogMeanExp,
    Max as Max,
    Mean as Mean,
    Min as Min,
    Quantile as Quantile,
    SoftMin as SoftMin,
    TrimmedMean as TrimmedMean,
)
from .reducers.attenuation import Attenuate as Attenuate, Equal as Equal
from .reducers.create import create_reward as create_reward
from .reducers.normalisation import Fixed as Fixed, Normalised as Normalised, Running as Running
from .reducers.plan import FramePlan as FramePlan
from .reducers.reward import Reward as Reward, RewardDetail as RewardDetail
from .reducers.sampling import (
    All as All,
    Every as Every,
    First as First,
    Index as Index,
    Segments as Segments,
    Uniform as Uniform,
)
from .reducers.video_reward import TemporalVideoReward as TemporalVideoReward, VideoReward as VideoReward
from .reducers.weighted_sum import WeightedSum as WeightedSum
from .rewards.card import RewardCard as RewardCard
from .rewards.catalog import (
    create_image_reward as create_image_reward,
    list_rewards as list_rewards,
    reward_info as reward_info,
)
from .rewards.interface import ImageReward as ImageReward, TemporalReward as TemporalReward
from .scoring.comparison import Comparison as Comparison, compare as compare
from .scoring.folder import score_folder as score_folder
from .scoring.rows import ScoreRow as ScoreRow
from .scoring.table import ScoreTable as ScoreTable
from .video import open_video as open_video, read_video as read_video, write_video as write_video

__version__: str
