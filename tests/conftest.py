from hypothesis import settings

# the same examples every time, and no deadline: a busy machine is no bug
settings.register_profile("rewardkit", deadline=None, derandomize=True)
settings.load_profile("rewardkit")
