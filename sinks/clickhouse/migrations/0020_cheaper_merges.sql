-- A merge costs a row as much as its insert did. Sixteen parts at once: a row is rewritten twice on its way into a part of
-- gigabytes, not four times, and a day has some forty parts. Texts stand with their lengths before them, in one stream:
-- the lengths of a map's texts would be eight bytes each in a stream of their own, and compressing those was a quarter of
-- what a merge did. What is stored already is read as it is.
ALTER TABLE spans MODIFY SETTING min_parts_to_merge_at_once = 16, string_serialization_version = 'single_stream';

ALTER TABLE logs MODIFY SETTING min_parts_to_merge_at_once = 16, string_serialization_version = 'single_stream';

ALTER TABLE metric_points MODIFY SETTING min_parts_to_merge_at_once = 16, string_serialization_version = 'single_stream';

ALTER TABLE trace_times MODIFY SETTING min_parts_to_merge_at_once = 16;

ALTER TABLE landed_records MODIFY SETTING min_parts_to_merge_at_once = 16;
