"""From scores of frames to a score of a video: which frames, how much each counts, how they become one number."""
