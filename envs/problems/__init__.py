"""Problems to learn from and to be compared on: drawn, replayed or live."""
