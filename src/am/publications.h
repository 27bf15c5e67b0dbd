// Logical decoding does not know omendb's WAL records: a subscriber would get a table's first copy
// and never a change of it, without a word. So whoever puts one into a publication gets a WARNING.
#pragma once

#include "pg/server.h"

extern "C" {
#include "nodes/parsenodes.h"
}

namespace omendb {

// What a statement may bring together; found before it runs, since it may rename.
struct PublicationCheck {
  Node* statement;  // nullptr: nothing to look at
  Oid moved;        // ALTER TABLE ... SET SCHEMA: the table
};

PublicationCheck StartPublicationCheck(Node* statement);
// After the statement: raises an ERROR, or a WARNING, or nothing.
void FinishPublicationCheck(const PublicationCheck& check);

}  // namespace omendb
