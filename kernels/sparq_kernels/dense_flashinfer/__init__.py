"""Dense decode through FlashInfer."""
