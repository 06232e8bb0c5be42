"""The data that the chapters train on, one module per family. Nothing is downloaded."""
