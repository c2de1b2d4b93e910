-- What one insert brings is one file and not two hundred: a part is stored column by column from 128 MiB on, which merges
-- soon make. Below that, files are what an insert costs most.
ALTER TABLE spans MODIFY SETTING min_bytes_for_wide_part = 134217728;

ALTER TABLE logs MODIFY SETTING min_bytes_for_wide_part = 134217728;

ALTER TABLE metric_points MODIFY SETTING min_bytes_for_wide_part = 134217728;
