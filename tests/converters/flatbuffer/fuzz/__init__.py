"""Mutation fuzzing of whole files: attributes, tensors, operators, signatures and metadata trees."""
