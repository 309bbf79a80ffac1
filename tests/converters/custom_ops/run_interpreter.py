"""Runs a file in the interpreter of a TFLite runtime with our delegate: MODULE LIBRARY MODEL INPUTS.npz OUTPUTS.npz.

Arrays are named by their place among the model's inputs and outputs. For a Python that has nothing but NumPy and the
runtime.
"""

import importlib
import sys

import numpy as np

module, library, model, inputs, outputs = sys.argv[1:]
runtime = importlib.import_module(module)
interpreter = runtime.Interpreter(model_path=model, experimental_delegates=[runtime.load_delegate(library)])
interpreter.allocate_tensors()
given = np.load(inputs)
for i, detail in enumerate(interpreter.get_input_details()):
    interpreter.set_tensor(detail["index"], given[str(i)])
interpreter.invoke()
details = interpreter.get_output_details()
np.savez(outputs, **{str(i): interpreter.get_tensor(detail["index"]) for i, detail in enumerate(details)})
