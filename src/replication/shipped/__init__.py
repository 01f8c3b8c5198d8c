"""The shipped results: collected, checked, restored, bundled."""
