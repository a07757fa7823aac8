"""Measurements of kata-cpp through a private containerd; the arithmetic (stats, table) is apart from what runs things."""
