"""Import of checkpoints of other frameworks into run directories, from which this package quantizes and exports.

    import_checkpoint(Path("parakeet-ctc-0.6b"), RunDirectory(Path("runs/parakeet")))

`run.import_checkpoint` finds the family of a checkpoint: a module that reads its settings (`Architecture`) and yields
the weights of every layer from its tensors, one layer at a time. `tensors` reads tensors, `hugging_face` the files
around them, `sentencepiece_model` and `tokenizer_json` turn their tokenizer into a SentencePiece model.
"""
