"""What a user can get wrong with a language model."""

from sparq_profiles import SparqPerfError


class LlmError(SparqPerfError):
    """A model, a cache or a call that SparQ cannot take part in; the message says what it can."""
