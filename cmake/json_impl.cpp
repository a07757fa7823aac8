// The one translation unit that holds Boost.JSON's own code; built here rather than taken from the
// distribution's archive, so that the linker can drop what a program does not use.
#include <boost/json/src.hpp>
