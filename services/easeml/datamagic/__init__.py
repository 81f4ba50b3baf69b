"""DataMagic: any file becomes a probabilistic relation."""
