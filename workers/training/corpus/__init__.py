"""The pocket checkpoint's training corpus and yardsticks, made from pinned registry packages."""
