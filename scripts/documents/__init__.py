"""The generated documents: what they say comes from the product itself."""
