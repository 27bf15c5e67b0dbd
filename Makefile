# OmenDB for PostgreSQL. `make help` lists the targets.

# The server to build for: Debian's PostgreSQL 15 unless PG_CONFIG says otherwise.
PG_CONFIG ?= $(firstword $(wildcard /usr/lib/postgresql/15/bin/pg_config) pg_config)
BUILD ?= build

EXTENSION = omendb
MODULE_big = omendb
DATA := $(wildcard sql/omendb--*.sql)
PGFILEDESC = "omendb - rows in RocksDB behind a table access method"

# pg_regress takes its tests from sql/ too, so the extension's scripts are left out by name.
REGRESS := $(sort $(patsubst sql/%.sql,%,$(filter-out $(DATA),$(wildcard sql/*.sql))))
REGRESS_OPTS = --load-extension=omendb
ISOLATION := $(sort $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec)))
# The last of the switches counts: PGXS itself passes its own input and output folders first.
ISOLATION_OPTS = --load-extension=omendb --inputdir=test --outputdir=$(BUILD)/isolation

WARNINGS = -Wall -Wextra -Werror
SOURCES = $(sort $(wildcard src/*.cpp src/*/*.cpp))

# Empty until the development files are installed; `make setup`, `demo` and `test` work before.
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))

ifneq ($(PGXS),)
PG_VERSION := $(shell $(PG_CONFIG) --version)
ifeq ($(filter 15.%,$(word 2,$(PG_VERSION))),)
$(error OmenDB needs PostgreSQL 15, but $(PG_CONFIG) is $(PG_VERSION))
endif

# Objects of two servers never mix: each has a folder of its own.
SERVER := $(shell echo '$(PG_VERSION) $(shell $(PG_CONFIG) --pkglibdir)' | cksum | cut -d' ' -f1)
OBJDIR = $(BUILD)/server-$(SERVER)
OBJS = $(SOURCES:%.cpp=$(OBJDIR)/%.o)

PG_CPPFLAGS = -Isrc -isystem $(shell $(PG_CONFIG) --includedir-server)
PG_CXXFLAGS = -std=c++20 -O2 $(WARNINGS) -fvisibility-inlines-hidden
SHLIB_LINK = -lrocksdb -lstdc++
EXTRA_CLEAN = $(BUILD)/server-* $(BUILD)/unit* $(BUILD)/isolation $(BUILD)/last_server results
endif

all:

ifneq ($(PGXS),)
# The bitcode rule runs clang without our -std and fails on RocksDB's headers.
override with_llvm := no
include $(PGXS)

installcheck: | $(BUILD)/isolation

$(OBJDIR)/%.o: %.cpp Makefile
	@mkdir -p $(@D)
	$(COMPILE.cc) -MMD -MP -o $@ $<

# omendb.so lies outside the folders of the servers: link it again when the server changes.
$(shell mkdir -p $(BUILD); echo $(SERVER) | cmp -s - $(BUILD)/last_server || \
    echo $(SERVER) >$(BUILD)/last_server)
omendb.so: $(BUILD)/last_server

-include $(OBJS:.o=.d)
else
all install installcheck clean:
	@echo "PostgreSQL 15's development files are missing (PG_CONFIG=$(PG_CONFIG)): make setup" >&2
	@exit 1
endif

$(BUILD)/isolation:
	@mkdir -p $@

# Unit tests and micro-benchmarks: the rooms that know nothing of PostgreSQL, one program for
# each file.
PURE_ROOMS = base key alex block buffer cache store
# The bytes of WAL records need nothing of the server either.
PURE_SOURCES = $(sort $(foreach room,$(PURE_ROOMS),$(wildcard src/$(room)/*.cpp))) \
    src/wal/records.cpp src/wal/index_record.cpp
UNIT_TESTS = $(sort $(patsubst test/unit/%.cpp,%,$(wildcard test/unit/*_test.cpp)))
BENCHMARKS = $(sort $(patsubst bench/%.cpp,%,$(wildcard bench/*_bench.cpp)))
UNIT_CXXFLAGS = -std=c++20 -g -O2 $(WARNINGS) -Isrc
ASAN_CXXFLAGS = -std=c++20 -g -O1 -fno-omit-frame-pointer $(WARNINGS) -Isrc \
    -fsanitize=address,undefined -fno-sanitize-recover=all -D_GLIBCXX_ASSERTIONS

# What alex_bench compares with.
LIBS_alex_bench = $(shell pkg-config --libs absl_btree)

# $(call unit_rules,folder,flags)
define unit_rules
$(1)/%.o: %.cpp Makefile
	@mkdir -p $$(@D)
	$(CXX) $(2) -MMD -MP -c -o $$@ $$<
$(1)/pure.a: $(PURE_SOURCES:%.cpp=$(1)/%.o)
	@rm -f $$@
	ar rcs $$@ $$^
$(BENCHMARKS:%=$(1)/%): $(1)/%: $(1)/bench/%.o $(1)/pure.a
	$(CXX) $(2) -o $$@ $$^ -lbenchmark -lrocksdb $$(LIBS_$$(@F)) -lpthread
$(UNIT_TESTS:%=$(1)/%): $(1)/%: $(1)/test/unit/%.o $(1)/pure.a
	$(CXX) $(2) -o $$@ $$^ -lgtest_main -lgmock -lgtest -lrocksdb -lpthread
-include $(PURE_SOURCES:%.cpp=$(1)/%.d) $(UNIT_TESTS:%=$(1)/test/unit/%.d) \
    $(BENCHMARKS:%=$(1)/bench/%.d)
endef
$(eval $(call unit_rules,$(BUILD)/unit,$(UNIT_CXXFLAGS)))
$(eval $(call unit_rules,$(BUILD)/unit-asan,$(ASAN_CXXFLAGS)))
.SECONDARY:

unit-build: $(UNIT_TESTS:%=$(BUILD)/unit/%)
unit-asan-build: $(UNIT_TESTS:%=$(BUILD)/unit-asan/%)

unit: unit-build
	tools/run_unit.sh $(UNIT_TESTS:%=$(BUILD)/unit/%)
unit-asan: unit-asan-build
	tools/run_unit.sh $(UNIT_TESTS:%=$(BUILD)/unit-asan/%)

bench-build: $(BENCHMARKS:%=$(BUILD)/unit/%)
bench-unit:
	tools/setup.sh --bench
	$(MAKE) bench-build
	@set -e; for program in $(BENCHMARKS:%=$(BUILD)/unit/%); do $$program; done

check-includes:
	perl tools/check_includes.pl --self-test
	perl tools/check_includes.pl

# The demo's server lies in build/$(DEMO).
DEMO ?= demo

setup:
	tools/setup.sh
test:
	PG_CONFIG='$(PG_CONFIG)' MAKE='$(MAKE)' tools/test.sh
demo:
	DEMO='$(DEMO)' PG_CONFIG='$(PG_CONFIG)' MAKE='$(MAKE)' tools/demo.sh
demo-stop:
	PG_CONFIG='$(PG_CONFIG)' tools/server.sh stop '$(DEMO)'
bench:
	PG_CONFIG='$(PG_CONFIG)' MAKE='$(MAKE)' bench/run_all.sh
cassert:
	tools/cassert.sh
test-postgres:
	PG_CONFIG='$(PG_CONFIG)' MAKE='$(MAKE)' tools/test_postgres.sh
sqlsmith:
	PG_CONFIG='$(PG_CONFIG)' MAKE='$(MAKE)' tools/sqlsmith.sh

help:
	@echo 'make              builds omendb.so for PG_CONFIG=$(PG_CONFIG)'
	@echo 'make install      installs it there'
	@echo 'make installcheck regression and isolation tests against a running server'
	@echo 'make setup        installs the Debian packages that are missing'
	@echo 'make demo         everything from set-up to a private server with real data'
	@echo 'make demo-stop    stops that server'
	@echo 'make test         everything from set-up to all tests'
	@echo 'make test-postgres   PostgreSQL'"'"'s own tests on omendb tables'
	@echo 'make sqlsmith     random queries on the database that those leave'
	@echo 'make unit         unit tests; unit-asan: the same under ASan and UBSan'
	@echo 'make check-includes   holds the #include lines to the table of rooms'
	@echo 'make cassert      builds a server with assertions, prints its PG_CONFIG'
	@echo 'make bench        the benchmarks of bench/README.md; bench-unit: those without a server'

.PHONY: all unit unit-build unit-asan unit-asan-build unit-tsan check-includes setup test demo demo-stop \
    bench bench-build bench-unit cassert test-postgres sqlsmith help
