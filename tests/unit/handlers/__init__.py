"""The handlers and their SDK: no broker, no TensorFlow."""
