"""The log for those who keep and check it: sealing, replay, verification, exports, keys."""
