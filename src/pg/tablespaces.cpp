#include "pg/tablespaces.h"

#include <dirent.h>
#include <errno.h>

extern "C" {
#include "catalog/pg_tablespace_d.h"
#include "utils/builtins.h"
}

namespace omendb {

// Without the server's functions for directories: the workers must not meet an ERROR here.
List* TablespaceOids() {
  List* oids = list_make1_oid(DEFAULTTABLESPACE_OID);
  DIR* directory = opendir("pg_tblspc");
  if (directory == nullptr) return NIL;
  errno = 0;
  while (const dirent* entry = readdir(directory)) {
    Oid oid = atooid(entry->d_name);
    if (OidIsValid(oid)) oids = lappend_oid(oids, oid);
  }
  bool complete = errno == 0;
  closedir(directory);
  return complete ? oids : NIL;
}

}  // namespace omendb
