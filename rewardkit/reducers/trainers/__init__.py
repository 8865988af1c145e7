"""A reward as other people's trainers call it: TRL's reward functions, DDPO's, a metric of torchmetrics."""
