# Statements drawn from a seed, over tables that two databases have alike. What they answer depends on
# nothing but the rows: values come from the seed, whatever has an order is ordered by a key, and a
# row that a statement changes is met once.
#
# Where a database may have its own index method, `USING @method` stands for it. It is left out for
# keys that may be too long: the methods draw the line at different sizes.
package RandomStatements;

use strict;
use warnings;

# The tables, in whatever access method is the default.
our $schema = <<'SQL';
CREATE TABLE items (id int PRIMARY KEY, a int, b text, n numeric(12,2) DEFAULT 7.5, ts timestamptz,
  arr int[], j jsonb, flag bool NOT NULL DEFAULT false, u int UNIQUE, big text,
  twice int GENERATED ALWAYS AS (a * 2) STORED);
CREATE INDEX items_a ON items USING @method (a);
CREATE INDEX items_b_a ON items USING @method (b, a DESC NULLS FIRST) INCLUDE (flag);
CREATE INDEX items_n ON items USING @method (n) WHERE flag;
CREATE INDEX items_lower ON items USING @method (lower(b));
CREATE INDEX items_ts_id ON items USING @method (ts DESC, id) INCLUDE (n);
CREATE INDEX items_arr ON items USING gin (arr);
CREATE INDEX items_ts ON items USING brin (ts) WITH (pages_per_range = 1);
CREATE TABLE parts (id int PRIMARY KEY, item int REFERENCES items ON DELETE CASCADE ON UPDATE CASCADE,
  other int REFERENCES items ON DELETE SET NULL ON UPDATE CASCADE, qty int CHECK (qty >= 0), note text);
CREATE INDEX parts_item ON parts USING @method (item);
CREATE INDEX parts_note ON parts USING hash (note);
CREATE TABLE events (k int, id int, v text, cnt int DEFAULT 0, PRIMARY KEY (k, id)) PARTITION BY RANGE (k);
CREATE TABLE events_0 PARTITION OF events FOR VALUES FROM (0) TO (10);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (10) TO (20);
CREATE TABLE events_2 PARTITION OF events DEFAULT;
CREATE INDEX events_v ON events (v);
CREATE INDEX events_start ON events USING @method (left(v, 100), k);
CREATE TABLE shape (id int PRIMARY KEY, c1 int, c2 text);
CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY, v text);
CREATE TABLE log (op text, id int, old text, new text);
CREATE FUNCTION before_items() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.a = 19 THEN RETURN NULL; END IF;
  IF NEW.a = 13 THEN NEW.n := coalesce(NEW.n, 0) + 1; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER before_items BEFORE INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION before_items();
CREATE FUNCTION after_items() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO log VALUES (TG_OP, coalesce(NEW.id, OLD.id), OLD.a || coalesce(OLD.b, '') || coalesce(length(OLD.big), 0),
                          NEW.a || coalesce(NEW.b, '') || coalesce(length(NEW.big), 0));
  RETURN NULL;
END $$;
CREATE TRIGGER after_items AFTER INSERT OR DELETE OR UPDATE OF a, b, big ON items
  FOR EACH ROW EXECUTE FUNCTION after_items();
CREATE FUNCTION after_parts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO log SELECT TG_OP || ' parts', count(*), sum(o.qty), sum(n.qty)
    FROM old_rows o JOIN new_rows n USING (id);
  RETURN NULL;
END $$;
CREATE TRIGGER after_parts AFTER UPDATE ON parts REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION after_parts();
CREATE VIEW busy AS SELECT id, a, b, flag FROM items WHERE flag WITH CHECK OPTION;
SQL

# What every session has for itself.
our $session_schema = 'CREATE TEMP TABLE own (id int PRIMARY KEY, v text) ON COMMIT DELETE ROWS';

our @tables = qw(items parts events shape scratch log);
my %key = (items => 'id', parts => 'id', events => 'k, id', shape => 'id', scratch => 'id', own => 'id');

sub new
{
	my ($class, $seed) = @_;
	# Drawn by a generator of its own: Perl's may be another on another machine.
	return bless { state => $seed % 4294967296, columns => {}, prepared => 0 }, $class;
}

# Steele and Vigna, splitmix32's relative; 32 bits.
sub next_number
{
	my ($self) = @_;
	use integer;
	$self->{state} = ($self->{state} + 0x9e3779b9) & 0xffffffff;
	my $z = $self->{state};
	$z = (($z ^ ($z >> 16)) * 0x21f0aaad) & 0xffffffff;
	$z = (($z ^ ($z >> 15)) * 0x735a2d97) & 0xffffffff;
	return ($z ^ ($z >> 15)) & 0xffffffff;
}

sub below { my ($self, $n) = @_; return $self->next_number % $n; }
sub one { my ($self, @choices) = @_; return $choices[ $self->below(scalar @choices) ]; }
sub chance { my ($self, $percent) = @_; return $self->below(100) < $percent; }

# weighted(weight, value, weight, value, ...)
sub weighted
{
	my ($self, @pairs) = @_;
	my $sum = 0;
	for (my $i = 0; $i < @pairs; $i += 2) { $sum += $pairs[$i]; }
	my $at = $self->below($sum);
	for (my $i = 0; $i < @pairs; $i += 2)
	{
		return $pairs[ $i + 1 ] if $at < $pairs[$i];
		$at -= $pairs[$i];
	}
	die 'unreachable';
}

# The columns of the table that changes its shape: [name, type].
sub set_shape { my ($self, @columns) = @_; $self->{columns} = \@columns; return; }

sub id { my ($self) = @_; return 1 + $self->below(250); }
sub number { my ($self) = @_; return $self->chance(6) ? 'NULL' : $self->below(25); }

sub word
{
	my ($self) = @_;
	return 'NULL' if $self->chance(6);
	my $word = $self->one(qw(Anna berta Carl dora Emil friedrich Gustav heinrich ida Julius));
	$word .= $self->below(4) if $self->chance(40);
	return "'$word'";
}

# Short, long enough to be compressed, or too long and too random for a row.
sub text
{
	my ($self) = @_;
	my $seed = $self->below(1000);
	return $self->weighted(
		6, $self->word,
		2, "repeat('w$seed ', " . (1 + $self->below(2000)) . ')',
		1, "(SELECT string_agg(md5((g + $seed)::text), '') FROM generate_series(1, "
		  . (1 + $self->below(400)) . ') g)');
}

sub time_value
{
	my ($self) = @_;
	return $self->chance(8) ? 'NULL'
	  : sprintf "'2024-%02d-%02d %02d:00:00+00'", 1 + $self->below(12), 1 + $self->below(28), $self->below(24);
}
sub array
{
	my ($self) = @_;
	return 'NULL' if $self->chance(10);
	return "'{" . join(',', map { $self->below(12) } 1 .. $self->below(6)) . "}'::int[]";
}
sub json
{
	my ($self) = @_;
	return 'NULL' if $self->chance(10);
	return sprintf q('{"k": %d, "w": "%s", "l": [%d, null]}'::jsonb), $self->below(9), $self->one(qw(x y z)), $self->below(5);
}
sub decimal { my ($self) = @_; return $self->chance(8) ? 'NULL' : $self->below(1000) . '.' . $self->below(100); }
sub unique_number { my ($self) = @_; return $self->chance(50) ? 'NULL' : $self->below(2000); }

sub value
{
	my ($self, $type) = @_;
	return $self->number if $type =~ /^(?:integer|bigint|smallint)$/;
	return $self->decimal if $type =~ /^(?:numeric|double)/;
	return $self->text if $type eq 'text' || $type =~ /^character/;
	return $self->time_value if $type =~ /^timestamp/;
	return $self->array if $type eq 'integer[]';
	return $self->json if $type eq 'jsonb';
	return $self->one('true', 'false') if $type eq 'boolean';
	die "no value of type $type";
}

# A condition on items; `$t` is a qualifier with its dot, or empty.
sub item_condition
{
	my ($self, $t) = @_;
	$t //= '';
	my $id = $self->id;
	my $one = sub {
		return $self->weighted(
			5, "${t}id = $id",
			4, "${t}id BETWEEN $id AND " . ($id + $self->below(40)),
			2, "${t}id IN (" . join(', ', map { $self->id } 1 .. 4) . ')',
			3, "${t}a = " . $self->below(25),
			2, "${t}a < " . $self->below(12),
			2, "${t}b = " . $self->one(qw('Anna' 'berta' 'Carl' 'dora' 'Emil')),
			1, "lower(${t}b) LIKE '" . $self->one(qw(a c g)) . "%'",
			1, "${t}b IS NULL",
			1, "${t}arr @> ARRAY[" . $self->below(12) . ']',
			1, "${t}ts < " . sprintf("'2024-%02d-01'", 1 + $self->below(12)),
			1, "${t}flag AND ${t}n > " . $self->below(900),
			1, "${t}u IS NOT NULL",
			1, "length(${t}big) > " . $self->below(5000),
			1, "${t}j->>'w' = 'x'",
			1, "${t}twice % 3 = 1",
			1, "(${t}b, ${t}a) " . $self->one('>', '<', '>=', '<=') . ' (' . $self->one(qw('Anna' 'berta' 'dora' 'Emil')) . ', ' . $self->below(25) . ')',
			1, "${t}b > " . $self->one(qw('Anna' 'dora' 'Emil')) . " AND ${t}a IN (" . join(', ', map { $self->below(25) } 1 .. 3) . ')',
			1, "${t}ts > " . sprintf("'2024-%02d-01'", 1 + $self->below(12)) . " AND ${t}id < $id",
			1, "${t}id % " . (2 + $self->below(7)) . ' = 0');
	};
	my $condition = $one->();
	$condition = "($condition) " . $self->one('AND', 'OR') . ' (' . $one->() . ')' if $self->chance(25);
	$condition = "NOT ($condition)" if $self->chance(5);
	return $condition;
}

sub item_row
{
	my ($self, $id) = @_;
	return '(' . join(', ', $id, $self->number, $self->word, $self->decimal, $self->time_value, $self->array,
		$self->json, $self->one('true', 'false'), $self->unique_number, $self->text) . ')';
}
my $item_columns = '(id, a, b, n, ts, arr, j, flag, u, big)';

sub item_assignment
{
	my ($self) = @_;
	return join ', ', $self->weighted(
		5, 'a = ' . $self->number,
		3, 'a = coalesce(a, 0) + 1',
		3, 'b = ' . $self->word,
		2, "b = coalesce(b, '') || 'x'",
		4, 'n = n + 1',
		2, 'n = ' . $self->decimal,
		2, 'ts = ' . $self->time_value,
		1, 'arr = arr || ' . $self->below(12),
		1, 'j = ' . $self->json,
		2, 'flag = NOT flag',
		2, 'big = ' . $self->text,
		1, "a = 19",
		1, "big = big || 'tail'");
}

# Each of the following returns a statement, and what it is besides: 'ordered' answers come in an
# order; a statement that changes several rows ('many') meets them in any order, and so any of the
# errors that it meets may be the one that it fails with.

sub read_statement
{
	my ($self) = @_;
	my $where = $self->item_condition;
	my $columns = $self->one('id, a, b', 'id, n, ts, flag', 'id, arr, j, twice', 'id, u, md5(big), length(big)', 'items');
	return $self->weighted(
		6, [ "SELECT $columns FROM items WHERE $where ORDER BY id", 'ordered' ],
		2, [ "SELECT $columns FROM items WHERE $where ORDER BY b DESC NULLS LAST, id LIMIT " . $self->below(20), 'ordered' ],
		2, [ "SELECT a FROM items WHERE a BETWEEN 3 AND " . $self->below(25) . ' ORDER BY a', 'ordered' ],
		2, [ "SELECT b, a FROM items WHERE b " . $self->one("> 'berta'", "< 'dora'", 'IS NOT NULL', 'IS NULL')
			  . ' ORDER BY ' . $self->one('b, a DESC NULLS FIRST', 'b DESC, a NULLS LAST', 'b DESC NULLS LAST, a') . ' LIMIT ' . $self->below(30), 'ordered' ],
		1, [ 'SELECT ts, id, n FROM items ORDER BY ' . $self->one('ts DESC, id', 'ts, id DESC') . ' LIMIT ' . $self->below(60), 'ordered' ],
		2, [ "SELECT count(*), sum(a), max(b), min(ts), sum(n), count(DISTINCT u) FROM items WHERE $where" ],
		2, [ "SELECT a, count(*), sum(length(big)) FROM items WHERE $where GROUP BY a ORDER BY a", 'ordered' ],
		2, [ 'SELECT p.id, p.qty, i.a, i.b FROM parts p JOIN items i ON i.id = p.item WHERE ' . $self->item_condition('i.') ],
		1, [ 'SELECT i.id, p.id, p.note FROM items i LEFT JOIN parts p ON p.other = i.id WHERE ' . $self->item_condition('i.') ],
		1, [ 'SELECT id FROM items i WHERE ' . $self->one('', 'NOT ') . 'EXISTS (SELECT FROM parts p WHERE p.item = i.id AND p.qty > '
			  . $self->below(9) . ')' ],
		1, [ 'SELECT id, b FROM items WHERE b NOT IN (SELECT note FROM parts WHERE note IS NOT NULL)' ],
		1, [ 'SELECT id, rank() OVER (PARTITION BY flag ORDER BY a, id) FROM items ORDER BY id', 'ordered' ],
		1, [ "SELECT count(*) FROM items WHERE ctid = ANY (ARRAY(SELECT ctid FROM items WHERE $where))" ],
		1, [ "SELECT count(*) FROM items WHERE ctid > '(1,0)' OR ctid <= '(1,0)'" ],
		2, [ 'SELECT k, id, v, cnt FROM events WHERE k = ' . $self->below(25) . ' ORDER BY k, id', 'ordered' ],
		1, [ 'SELECT tableoid::regclass, count(*), sum(cnt) FROM events WHERE k < ' . $self->below(25) . ' GROUP BY 1 ORDER BY 1', 'ordered' ],
		1, [ "SELECT v, count(*) FROM events WHERE v = " . $self->word . ' GROUP BY v' ],
		1, [ 'SELECT op, count(*), sum(id), max(old), min(new) FROM log GROUP BY op' ],
		1, [ 'SELECT * FROM shape WHERE id < ' . $self->id . ' ORDER BY id', 'ordered' ],
		1, [ 'SELECT * FROM scratch ORDER BY id', 'ordered' ],
		1, [ 'SELECT * FROM own ORDER BY id', 'ordered' ],
		1, [ "SELECT note, count(*) FROM parts WHERE note = " . $self->word . ' GROUP BY note' ],
		1, [ 'SELECT * FROM busy WHERE id < ' . $self->id ],
		1, [ 'SELECT count(*) FROM (SELECT id FROM items EXCEPT SELECT item FROM parts) x' ]);
}

sub lock_statement
{
	my ($self) = @_;
	my $strength = $self->one('UPDATE', 'NO KEY UPDATE', 'SHARE', 'KEY SHARE');
	my $how = $self->one('', '', ' NOWAIT', ' SKIP LOCKED');
	return $self->weighted(
		6, [ 'SELECT id, a, b FROM items WHERE id = ' . $self->id . " FOR $strength$how", 'ordered' ],
		2, [ 'SELECT id, a FROM items WHERE ' . $self->item_condition . ' ORDER BY id LIMIT ' . (1 + $self->below(5)) . " FOR $strength$how", 'ordered' ],
		1, [ 'SELECT k, id, cnt FROM events WHERE k = ' . $self->below(25) . " ORDER BY k, id FOR $strength$how", 'ordered' ],
		1, [ 'SELECT p.id, i.id, i.n FROM parts p JOIN items i ON i.id = p.item WHERE p.id = ' . $self->id . " FOR $strength OF " . $self->one('p', 'i') . $how ],
		1, [ 'LOCK TABLE ' . $self->one(@tables) . ' IN ' . $self->one('ROW SHARE', 'ROW EXCLUSIVE', 'SHARE') . ' MODE' ]);
}

sub write_statement
{
	my ($self) = @_;
	my $statement = $self->any_write_statement;
	# At REPEATABLE READ heap gives up when the row in the way has a version newer than the snapshot; for
	# omendb the version that the snapshot sees is in the way as well, and there is nothing to do.
	$statement = $self->any_write_statement while $self->{repeatable} && $statement->[0] =~ /DO NOTHING/;
	return $statement;
}

sub any_write_statement
{
	my ($self) = @_;
	my $id = $self->id;
	my $where = $self->item_condition;
	my $returning = $self->one('', '', ' RETURNING id, a, b, n', ' RETURNING *');
	my $rows = 2 + $self->below(15);
	my $above = 1000 + $self->below(100000);
	my $key = $self->below(25) . ", $id";
	return $self->weighted(
		6, sub { [ "INSERT INTO items $item_columns VALUES " . $self->item_row($id) . $returning ] },
		3, sub { [ "INSERT INTO items $item_columns VALUES "
			  . join(', ', map { $self->item_row($self->id) } 1 .. $rows) . ' ON CONFLICT DO NOTHING' . $returning ] },
		3, sub { [ "INSERT INTO items $item_columns VALUES " . $self->item_row($id) . ', ' . $self->item_row($id + 1)
			  . ' ON CONFLICT (id) DO UPDATE SET a = EXCLUDED.a, b = items.b || EXCLUDED.b'
			  . $self->one('', ' WHERE items.flag', ' WHERE EXCLUDED.a > 10') . $returning ] },
		1, sub { [ "INSERT INTO items $item_columns VALUES " . $self->item_row($id) . ' ON CONFLICT (u) DO UPDATE SET n = items.n + 1' ] },
		2, sub { [ "INSERT INTO items (id, a, b) SELECT $above + g, g % 25, 'row ' || g FROM generate_series(1, "
			  . (1 + $self->below(300)) . ') g' ] },
		1, sub { [ "COPY items (id, a, b) FROM PROGRAM \$\$awk 'BEGIN { for (i = 0; i < $rows; i++) "
			  . "print $above + 200000 + i, i % 25, \"copied\" i }'\$\$ (DELIMITER ' ')" ] },
		10, sub { [ 'UPDATE items SET ' . $self->item_assignment . " WHERE id = $id$returning" ] },
		4, sub { [ 'UPDATE items SET ' . $self->item_assignment . " WHERE $where$returning", 'many' ] },
		2, sub { [ "UPDATE items SET id = id + 300000 WHERE id = $id$returning" ] },
		2, sub { [ 'UPDATE items SET u = ' . $self->unique_number . " WHERE id = $id$returning" ] },
		1, sub { [ "UPDATE items SET n = n + (SELECT count(*) FROM parts p WHERE p.item = items.id) WHERE $where", 'many' ] },
		2, sub { [ 'UPDATE items i SET b = p.note FROM parts p WHERE p.item = i.id AND p.id = ' . $self->id ] },
		1, sub { [ 'UPDATE items SET a = (SELECT a FROM items WHERE id = ' . $self->id . ') WHERE ctid = (SELECT ctid FROM items WHERE id = '
			  . $self->id . ')' ] },
		1, sub { [ 'UPDATE busy SET ' . $self->one('a = a + 1', 'flag = false') . ' WHERE id = ' . $id ] },
		3, sub { [ "DELETE FROM items WHERE id = $id$returning" ] },
		1, sub { [ "DELETE FROM items WHERE id > 1000 AND id % 5 = " . $self->below(5) . $returning, 'many' ] },
		1, sub { [ 'DELETE FROM items i USING parts p WHERE p.item = i.id AND p.id = ' . $self->id . ' RETURNING i.id' ] },
		1, sub { [ "WITH gone AS (DELETE FROM items WHERE id = $id RETURNING *) INSERT INTO log SELECT 'moved', id, b, NULL FROM gone" ] },
		1, sub { [ "WITH new AS (INSERT INTO items (id, a) VALUES ($above + 500000, 1) RETURNING id) UPDATE parts SET other = new.id FROM new WHERE parts.id = $id" ] },
		4, sub { [ 'INSERT INTO parts VALUES ' . join(', ', map {
				'(' . join(', ', $self->id, $self->one('NULL', $self->id, $self->id), $self->one('NULL', $self->id), $self->below(10) - ($self->chance(3) ? 5 : 0), $self->word) . ')'
			  } 1 .. 1 + $self->below(3)) . ' ON CONFLICT (id) DO UPDATE SET qty = parts.qty + EXCLUDED.qty', 'many' ] },
		3, sub { [ 'UPDATE parts SET ' . $self->one('qty = qty + 1', 'qty = qty - 3', "note = note || '!'", 'item = ' . $self->id, 'other = NULL')
			  . ' WHERE ' . $self->one("id = $id", "id BETWEEN $id AND $id + 20", "item = $id"), 'many' ] },
		1, sub { [ "DELETE FROM parts WHERE id BETWEEN $id AND $id + 3", 'many' ] },
		4, sub { [ "INSERT INTO events VALUES ($key, " . $self->text . ') ON CONFLICT (k, id) DO UPDATE SET cnt = events.cnt + 1 RETURNING k, id, cnt' ] },
		3, sub { [ 'UPDATE events SET ' . $self->one('cnt = cnt + 1', 'v = ' . $self->text, 'k = k + 7', 'k = 24 - k') . " WHERE (k, id) = ($key)" . $self->one('', ' RETURNING *') ] },
		1, sub { [ 'UPDATE events SET cnt = cnt + 1 WHERE k = ' . $self->below(25), 'many' ] },
		1, sub { [ "DELETE FROM events WHERE k = " . $self->below(25) . " AND id < $id", 'many' ] },
		2, sub { [ "MERGE INTO items t USING (VALUES ($id, 3), ($id + 1, 4), ($id + 2, 5)) s (id, x) ON t.id = s.id "
			  . 'WHEN MATCHED AND t.flag THEN UPDATE SET a = s.x WHEN MATCHED AND t.a > 20 THEN DELETE '
			  . 'WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED THEN INSERT (id, a) VALUES (s.id, s.x)', 'many' ] },
		1, sub { [ "MERGE INTO events t USING (SELECT k, id FROM events WHERE id = $id AND k < 9) s ON t.k = s.k AND t.id = s.id "
			  . 'WHEN MATCHED AND t.cnt > 2 THEN DELETE WHEN MATCHED THEN UPDATE SET k = t.k + 11', 'many' ] },
		2, sub { my ($columns, $values) = $self->shape_row($id); [ "INSERT INTO shape $columns VALUES $values ON CONFLICT (id) DO NOTHING RETURNING *" ] },
		2, sub { my $c = $self->one(@{ $self->{columns} }); [ "UPDATE shape SET $c->[0] = " . $self->value($c->[1]) . " WHERE id = $id RETURNING *" ] },
		1, sub { my $c = $self->one(@{ $self->{columns} }); [ "UPDATE shape SET $c->[0] = $c->[0] WHERE id % 3 = 0", 'many' ] },
		1, sub { [ "DELETE FROM shape WHERE id BETWEEN $id AND $id + 2", 'many' ] },
		2, sub { [ "INSERT INTO scratch VALUES ($id, " . $self->text . ') ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v' ] },
		1, sub { [ "DELETE FROM scratch WHERE id < $id", 'many' ] },
		1, sub { [ "INSERT INTO own SELECT g, 'mine ' || g FROM generate_series($id, $id + 4) g ON CONFLICT DO NOTHING" ] },
		1, sub { [ "UPDATE own SET v = v || '.' WHERE id > $id", 'many' ] },
		1, sub { [ 'DELETE FROM log WHERE id = ' . $id, 'many' ] })->();
}

sub shape_row
{
	my ($self, $id) = @_;
	my @columns = @{ $self->{columns} };
	return ('(' . join(', ', 'id', map { $_->[0] } @columns) . ')',
		'(' . join(', ', $id, map { $self->value($_->[1]) } @columns) . ')');
}

# Inside a transaction: a cursor c, which may be changed or scrolled; h outlives the transaction.
sub declare_statement
{
	my ($self) = @_;
	return $self->weighted(
		4, [ 'DECLARE c ' . $self->one('', 'NO SCROLL ') . 'CURSOR FOR SELECT id, a, b FROM items WHERE ' . $self->item_condition . ' ORDER BY id FOR UPDATE' ],
		3, [ 'DECLARE c SCROLL CURSOR FOR SELECT id, n, flag FROM items WHERE ' . $self->item_condition . ' ORDER BY id' ],
		1, [ 'DECLARE h CURSOR WITH HOLD FOR SELECT id, a, b, length(big) FROM items ORDER BY id' ]);
}

sub cursor_statement
{
	my ($self, $declaration) = @_;
	# Of the others it depends on the plan whether they can be changed through.
	my $change = $declaration =~ /FOR UPDATE/ ? 1 : 0;
	return $self->weighted(
		6, [ 'FETCH ' . $self->one('', 'FORWARD 3 FROM ', 'NEXT FROM ', 'FORWARD 10 FROM ') . 'c', 'ordered' ],
		1, [ 'FETCH ' . $self->one('BACKWARD 2', 'PRIOR', 'LAST', 'FIRST', 'ABSOLUTE 3', 'ALL') . ' FROM c', 'ordered' ],
		1, [ 'FETCH 5 FROM h', 'ordered' ],
		1, [ 'CLOSE h' ],
		1, [ 'MOVE 2 IN c' ],
		5 * $change, [ 'UPDATE items SET ' . $self->item_assignment . ' WHERE CURRENT OF c RETURNING id, a, b, n' ],
		2 * $change, [ 'DELETE FROM items WHERE CURRENT OF c RETURNING id' ],
		1, [ 'CLOSE c' ]);
}

sub setting_statement
{
	my ($self) = @_;
	return [ $self->one(
			'SET enable_seqscan = ' . $self->one('on', 'off'),
			'SET enable_indexscan = ' . $self->one('on', 'off'),
			'SET enable_indexonlyscan = ' . $self->one('on', 'off'),
			'SET enable_bitmapscan = ' . $self->one('on', 'off'),
			'SET enable_hashjoin = ' . $self->one('on', 'off'),
			'SET parallel_setup_cost = ' . $self->one('0', '1000') . '; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0',
			'RESET ALL',
			'SET force_parallel_mode = ' . $self->one('on', 'off')) ];
}

# What changes the tables themselves.
sub ddl_statement
{
	my ($self) = @_;
	my $name = 'c' . (3 + $self->below(6));
	my $old = $self->one(@{ $self->{columns} });
	return $self->weighted(
		3, [ "ALTER TABLE shape ADD COLUMN $name " . $self->one('int', 'text', "text DEFAULT 'filled'", 'int DEFAULT 42 NOT NULL', 'numeric(8,2)',
				'boolean DEFAULT true', "timestamptz DEFAULT '2024-05-05'", "int[] DEFAULT '{1,2}'", 'bigint') ],
		2, [ "ALTER TABLE shape DROP COLUMN $old->[0]" ],
		1, [ "ALTER TABLE shape ALTER COLUMN $old->[0] TYPE " . ($old->[1] eq 'integer' ? "bigint USING $old->[0]::bigint" : "varchar(300) USING left($old->[0]::text, 300)") ],
		1, [ "CREATE INDEX shape_$name ON shape " . ($old->[1] =~ /^text|\[\]$/ ? '' : 'USING @method ') . "($old->[0])" ],
		1, [ "DROP INDEX IF EXISTS shape_$name" ],
		1, [ 'TRUNCATE ' . $self->one('log', 'shape', 'scratch', 'parts', 'events_1', 'log, shape') ],
		1, [ $self->one('CREATE INDEX IF NOT EXISTS items_flag ON items USING @method (flag, id)', 'DROP INDEX IF EXISTS items_flag') ],
		1, [ 'REINDEX TABLE ' . $self->one(qw(items parts shape scratch)) ],
		1, [ 'CLUSTER ' . $self->one('items USING items_a', 'parts USING parts_pkey', 'shape USING shape_pkey') ],
		1, [ $self->one('ALTER TABLE scratch SET LOGGED', 'ALTER TABLE scratch SET UNLOGGED') ],
		1, [ 'DROP TABLE IF EXISTS copied; CREATE TABLE copied AS SELECT * FROM ' . $self->one('items', 'shape', 'events')
			  . '; SELECT count(*) FROM copied; DROP TABLE copied' ]);
}

# Outside of transactions only.
sub maintenance_statement
{
	my ($self) = @_;
	return $self->weighted(
		4, [ 'VACUUM ' . $self->one(qw(items parts events shape scratch log)) ],
		2, [ 'VACUUM (ANALYZE) ' . $self->one(qw(items parts events shape scratch log)) ],
		1, [ 'VACUUM FREEZE ' . $self->one(qw(items parts events shape scratch log)) ],
		1, [ 'VACUUM FULL ' . $self->one(qw(items parts events shape scratch log)) ],
		2, [ 'ANALYZE ' . $self->one(qw(items parts events shape scratch log)) ]);
}

1;
