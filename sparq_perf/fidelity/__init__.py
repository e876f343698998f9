"""What SparQ does to a language model's answers: metrics against dense, tasks, and the grid that measures both."""
