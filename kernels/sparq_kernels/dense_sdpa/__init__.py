"""Dense decode through torch's scaled_dot_product_attention."""
