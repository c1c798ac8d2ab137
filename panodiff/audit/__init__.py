"""The audit: whether everything that a run left still is what its records, dvc.lock and git say that it is."""
