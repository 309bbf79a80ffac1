"""Import of checkpoints of other frameworks into run directories, from which this package quantizes and exports.

    import_checkpoint(Path("parakeet-ctc-0.6b"), RunDirectory(Path("runs/parakeet")))

`run.import_checkpoint` finds the family of a checkpoint: a module that reads its settings (`Architecture`) and yields
the weights of every layer from its tensors, one layer at a time. `hugging_face` reads the folders of transformers, with
`safetensors_file` and `tokenizer_json`; `nemo` reads archives, with `pytorch_file`.
"""
