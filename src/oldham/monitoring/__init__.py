"""What a model does while it is trained: a small paired safety panel at regular steps."""

from oldham.monitoring.panel import Panel

__all__ = ["Panel"]
