CREATE TABLE IF NOT EXISTS product (id int PRIMARY KEY, name text NOT NULL, stock int NOT NULL);
INSERT INTO product
SELECT number, 'product ' || number, 2 + number % 50 FROM generate_series(1, 100) AS number
ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS cart_item (shopper int NOT NULL, product_id int NOT NULL, cents int NOT NULL);
CREATE INDEX IF NOT EXISTS cart_item_shopper ON cart_item (shopper);
CREATE TABLE IF NOT EXISTS purchase (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, shopper int NOT NULL, cents int NOT NULL, payment text NOT NULL,
  placed_at timestamptz NOT NULL DEFAULT current_timestamp
);
TRUNCATE cart_item, purchase;
