-- The error lines of an incident's newest ranking, and what they mean: the mean of their sentence vectors, of length 1.
-- `vector_of` is the MD5 of the text that the vector was made of.
ALTER TABLE incident_features
    ADD COLUMN text        text        NOT NULL DEFAULT '',
    ADD COLUMN text_since  timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN text_vector vector(384),
    ADD COLUMN vector_of   text;
