"""How good the answers are: pairs first, then predictions, then metrics and a report. See docs/evaluation.md."""
