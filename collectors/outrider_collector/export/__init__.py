"""Findings sent on: each export follows the store's feed at its own pace and position (`pump`)."""
