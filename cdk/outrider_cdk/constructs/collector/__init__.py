"""The collector as a construct."""
