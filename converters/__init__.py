"""From a trained model to a packed `.tflite` file, and running that file in every TFLite runtime."""
