-- Requests of the pane that took longer than the latency objective allows; 0 where there is none.
ALTER TABLE service_panes ADD COLUMN IF NOT EXISTS slow_requests UInt64 DEFAULT 0 CODEC(T64, ZSTD(1)) AFTER late_items;
