"""Dense decode through the flash-attn package."""
