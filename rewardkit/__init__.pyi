from .bench.pages.report import write_report as write_report
from .engine.best_of import BestOf as BestOf
from .engine.best_of import best_of as best_of
from .engine.create import create_backbone as create_backbone
from .engine.create import list_backbones as list_backbones
from .engine.examples import Example as Example
from .engine.export import export_lora as export_lora
from .engine.finetune import FinetuneResult as FinetuneResult
from .engine.finetune import Finetuning as Finetuning
from .engine.finetune import finetune as finetune
from .engine.generate import generate as generate
from .engine.generator import FilmShape as FilmShape
from .engine.generator import Generator as Generator
from .engine.guards import GuardSettings as GuardSettings
from .engine.lora import LoraSettings as LoraSettings
from .engine.lora import load_lora as load_lora
from .engine.memory import Memory as Memory
from .engine.objectives import Ddpo as Ddpo
from .engine.objectives import Draft as Draft
from .engine.objectives import RewardGradient as RewardGradient
from .engine.objectives import RewardWeighted as RewardWeighted
from .engine.reward_guidance import RewardGuidance as RewardGuidance
from .engine.sampling_scores import SamplingScore as SamplingScore
from .engine.sampling_scores import SamplingScores as SamplingScores
from .engine.settings import FinetuneConfig as FinetuneConfig
from .errors import (
    BadCheckpointError as BadCheckpointError,
)
from .errors import (
    BadInputError as BadInputError,
)
from .errors import (
    ConformanceError as ConformanceError,
)
from .errors import (
    DecoderDiedError as DecoderDiedError,
)
from .errors import (
    MissingExtraError as MissingExtraError,
)
from .errors import (
    MissingWeightsError as MissingWeightsError,
)
from .errors import (
    NothingToDoError as NothingToDoError,
)
from .errors import (
    OutputError as OutputError,
)
from .errors import (
    OverLimitError as OverLimitError,
)
from .errors import (
    RewardFailedError as RewardFailedError,
)
from .errors import (
    RewardkitError as RewardkitError,
)
from .errors import (
    UnknownNameError as UnknownNameError,
)
from .errors import (
    UnreadableVideoError as UnreadableVideoError,
)
from .errors import (
    UsageError as UsageError,
)
from .limits import Limits as Limits
from .reducers.aggregation import (
    LogMeanExp as LogMeanExp,
)
from .reducers.aggregation import (
    Max as Max,
)
from .reducers.aggregation import (
    Mean as Mean,
)
from .reducers.aggregation import (
    Min as Min,
)
from .reducers.aggregation import (
    Quantile as Quantile,
)
from .reducers.aggregation import (
    SoftMin as SoftMin,
)
from .reducers.aggregation import (
    TrimmedMean as TrimmedMean,
)
from .reducers.attenuation import Attenuate as Attenuate
from .reducers.attenuation import Equal as Equal
from .reducers.create import create_reward as create_reward
from .reducers.normalisation import Fixed as Fixed
from .reducers.normalisation import Normalised as Normalised
from .reducers.normalisation import Running as Running
from .reducers.plan import FramePlan as FramePlan
from .reducers.reward import Reward as Reward
from .reducers.reward import RewardDetail as RewardDetail
from .reducers.sampling import (
    All as All,
)
from .reducers.sampling import (
    Every as Every,
)
from .reducers.sampling import (
    First as First,
)
from .reducers.sampling import (
    Index as Index,
)
from .reducers.sampling import (
    Segments as Segments,
)
from .reducers.sampling import (
    Uniform as Uniform,
)
from .reducers.video_reward import TemporalVideoReward as TemporalVideoReward
from .reducers.video_reward import VideoReward as VideoReward
from .reducers.weighted_sum import WeightedSum as WeightedSum
from .rewards.card import RewardCard as RewardCard
from .rewards.catalog import (
    create_image_reward as create_image_reward,
)
from .rewards.catalog import (
    list_rewards as list_rewards,
)
from .rewards.catalog import (
    reward_info as reward_info,
)
from .rewards.interface import ImageReward as ImageReward
from .rewards.interface import TemporalReward as TemporalReward
from .scoring.comparison import Comparison as Comparison
from .scoring.comparison import compare as compare
from .scoring.folder import score_folder as score_folder
from .scoring.merging import merge_rows as merge_rows
from .scoring.rows import ScoreRow as ScoreRow
from .scoring.table import ScoreTable as ScoreTable
from .video import open_video as open_video
from .video import read_video as read_video
from .video import write_video as write_video

__version__: str
