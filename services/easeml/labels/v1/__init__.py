"""Generated code of the public contract ``proto/easeml/labels/v1/labels.proto``; see ``proto/README.md``."""
