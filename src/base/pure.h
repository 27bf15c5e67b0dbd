// Last include of every file in a pure room: refuses PostgreSQL's headers, so that code which
// returns Status can never call code which leaves by longjmp.
#pragma once

#if defined(POSTGRES_H) || defined(PG_VERSION_NUM)
#error "a pure room must not include postgres.h"
#endif
