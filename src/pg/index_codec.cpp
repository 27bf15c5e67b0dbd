#include "pg/index_codec.h"

#include "pg/collation_key.h"

extern "C" {
#include "access/genam.h"
#include "access/nbtree.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
}

namespace omendb {
namespace {

// What a comparison function sorts by. `collates` if it looks at the collation.
struct Order {
  Oid compare;
  KeyKind kind;
  bool collates;
};

constexpr Order kOrders[] = {
    {F_BTINT2CMP, KeyKind::kInt2, false},
    {F_BTINT4CMP, KeyKind::kInt4, false},
    {F_BTINT8CMP, KeyKind::kInt8, false},
    {F_CASH_CMP, KeyKind::kInt8, false},
    {F_BTOIDCMP, KeyKind::kOid, false},
    {F_XID8CMP, KeyKind::kUint64, false},
    {F_PG_LSN_CMP, KeyKind::kUint64, false},
    {F_BTFLOAT4CMP, KeyKind::kFloat4, false},
    {F_BTFLOAT8CMP, KeyKind::kFloat8, false},
    {F_NUMERIC_CMP, KeyKind::kNumeric, false},
    {F_BTBOOLCMP, KeyKind::kBool, false},
    {F_BTCHARCMP, KeyKind::kChar, false},
    {F_DATE_CMP, KeyKind::kDate, false},
    {F_TIME_CMP, KeyKind::kTime, false},
    {F_TIMETZ_CMP, KeyKind::kTimeTz, false},
    {F_TIMESTAMP_CMP, KeyKind::kTimestamp, false},
    {F_TIMESTAMPTZ_CMP, KeyKind::kTimestamp, false},
    {F_INTERVAL_CMP, KeyKind::kInterval, false},
    {F_UUID_CMP, KeyKind::kUuid, false},
    {F_MACADDR_CMP, KeyKind::kMacaddr, false},
    {F_MACADDR8_CMP, KeyKind::kMacaddr8, false},
    {F_NETWORK_CMP, KeyKind::kInet, false},
    {F_BYTEACMP, KeyKind::kBytea, false},
    {F_BTTEXTCMP, KeyKind::kText, true},
    {F_BTTEXT_PATTERN_CMP, KeyKind::kText, false},
    {F_BPCHARCMP, KeyKind::kBpchar, true},
    {F_BTBPCHAR_PATTERN_CMP, KeyKind::kBpchar, false},
    {F_BTNAMECMP, KeyKind::kName, true},
};

const Order* OrderOf(Oid compare) {
  for (const Order& order : kOrders) {
    if (order.compare == compare) return &order;
  }
  return nullptr;
}

bool IsPatched(KeyKind kind) {
  return kind == KeyKind::kNumeric || kind == KeyKind::kFloat4 || kind == KeyKind::kFloat8 ||
         kind == KeyKind::kInterval || kind == KeyKind::kBpchar;
}

[[noreturn]] void RefuseColumn(Relation index, int column, Oid compare) {
  Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(index), column);
  ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                  errmsg("access method \"alex\" does not support column \"%s\" of type %s",
                         NameStr(attribute->attname), format_type_be(attribute->atttypid)),
                  OidIsValid(compare) ? errdetail("It does not know the order of function %s.",
                                                  format_procedure(compare))
                                      : errdetail("The operator class has no comparison function."),
                  errhint("Use the access method btree.")));
}

[[noreturn]] void RefuseCollation(Relation index, int column, Oid collation, bool deterministic) {
  Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(index), column);
  ereport(ERROR,
          (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
           errmsg("access method \"alex\" does not support collation \"%s\" of column \"%s\"",
                  get_collation_name(collation), NameStr(attribute->attname)),
           deterministic
               ? errdetail("The C library's sort keys do not always agree with its comparisons.")
               : errdetail("The collation is nondeterministic."),
           errhint("Use the access method btree, collation \"C\", or a deterministic collation of "
                   "ICU.")));
}

// Whether an order by that collation has bytes. The pattern classes have a collation too, and
// equality of the type goes by it.
bool Holds(const Order& order, const CollationOrder& collation) {
  if (!order.collates) return collation.deterministic;
  return collation.bytewise || (collation.deterministic && collation.locale != nullptr);
}

void SetKeyColumn(Relation index, int i, IndexColumn* column) {
  Oid compare = index_getprocid(index, static_cast<AttrNumber>(i + 1), BTORDER_PROC);
  const Order* order = OrderOf(compare);
  if (order == nullptr) RefuseColumn(index, i, compare);
  column->kind = order->kind;
  column->descending = (index->rd_indoption[i] & INDOPTION_DESC) != 0;
  column->nulls_first = (index->rd_indoption[i] & INDOPTION_NULLS_FIRST) != 0;
  column->input_type = index->rd_opcintype[i];
  column->collation = index->rd_indcollation[i];
  column->patched = IsPatched(order->kind);
  if (!OidIsValid(column->collation)) return;
  CollationOrder collation = OrderOfCollation(column->collation);
  if (!Holds(*order, collation)) {
    RefuseCollation(index, i, column->collation, collation.deterministic);
  }
  column->collated = order->collates && !collation.bytewise;
  column->locale = column->collated ? collation.locale : nullptr;
}

}  // namespace

IndexCodec* NewIndexCodec(Relation index) {
  TupleDesc descriptor = RelationGetDescr(index);
  int count = IndexRelationGetNumberOfAttributes(index);
  size_t name_size = strlen(RelationGetRelationName(index)) + 1;
  size_t columns_size = offsetof(IndexCodec, columns) + count * sizeof(IndexColumn);
  auto* codec = static_cast<IndexCodec*>(palloc0(columns_size + name_size));
  char* name = reinterpret_cast<char*>(codec) + columns_size;
  memcpy(name, RelationGetRelationName(index), name_size);
  codec->index_name = name;
  codec->column_count = count;
  codec->key_count = IndexRelationGetNumberOfKeyAttributes(index);
  for (int i = 0; i < count; i++) {
    IndexColumn* column = &codec->columns[i];
    Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
    column->by_value = attribute->attbyval;
    column->length = attribute->attlen;
    if (i >= codec->key_count) continue;
    SetKeyColumn(index, i, column);
    if (column->patched) codec->patched_count++;
  }
  return codec;
}

bool IndexCodecHolds(Oid type, Oid opclass, Oid collation) {
  if (!OidIsValid(opclass)) opclass = GetDefaultOpClass(type, BTREE_AM_OID);
  if (!OidIsValid(opclass)) return false;
  Oid input = get_opclass_input_type(opclass);
  const Order* order =
      OrderOf(get_opfamily_proc(get_opclass_family(opclass), input, input, BTORDER_PROC));
  if (order == nullptr) return false;
  return !OidIsValid(collation) || Holds(*order, OrderOfCollation(collation));
}

}  // namespace omendb
