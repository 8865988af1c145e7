import ast
import importlib
from pathlib import Path

import rewardkit

STUB = ast.parse((Path(rewardkit.__file__).with_suffix(".pyi")).read_text())
LISTED = {
    alias.name: node.module for node in ast.walk(STUB) if isinstance(node, ast.ImportFrom) for alias in node.names
}


def test_every_public_name_is_there_and_documented() -> None:
    assert rewardkit.__all__ == sorted(LISTED)
    for name, module in LISTED.items():
        thing = getattr(rewardkit, name)
        assert thing is getattr(importlib.import_module(f"rewardkit.{module}"), name)
        assert (thing.__doc__ or "").strip(), f"{name} has no docstring"


def test_names_do_not_drift() -> None:
    assert " ".join(rewardkit.__all__) == (
        "All Attenuate BadCheckpointError BadInputError BestOf Comparison ConformanceError Ddpo DecoderDiedError "
        "Draft Equal Every Example FilmShape FinetuneConfig FinetuneResult Finetuning First Fixed FramePlan Generator "
        "GuardSettings ImageReward Index Limits LogMeanExp LoraSettings Max Mean Memory Min MissingExtraError "
        "MissingWeightsError Normalised NothingToDoError OutputError OverLimitError Quantile Reward RewardCard "
        "RewardDetail RewardFailedError RewardGradient RewardGuidance RewardWeighted RewardkitError Running "
        "SamplingScore SamplingScores ScoreRow ScoreTable Segments SoftMin TemporalReward TemporalVideoReward "
        "TrimmedMean Uniform UnknownNameError UnreadableVideoError UsageError VideoReward WeightedSum best_of compare "
        "create_backbone create_image_reward create_reward export_lora finetune generate list_backbones list_rewards "
        "load_lora merge_rows open_video read_video reward_info score_folder write_report write_video"
    )
