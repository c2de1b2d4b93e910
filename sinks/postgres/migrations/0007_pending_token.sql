-- The deduplication token of the pending insert: it names every range of offsets that is in it, also of the other
-- partitions, so that a new owner can build the same insert again (schemas/checkpoints.py).
ALTER TABLE checkpoints
    ADD COLUMN pending_token text,
    ADD CONSTRAINT pending_is_whole CHECK ((pending_first IS NULL) = (pending_token IS NULL));
