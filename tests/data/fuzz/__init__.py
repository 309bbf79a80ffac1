"""Mutation fuzzing of what a person writes: manifests, transcripts, configurations, audio files."""
