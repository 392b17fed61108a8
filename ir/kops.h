#include "../runtime/kops.h"
