#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# dev.sh SOURCE-ROOT
#
# `./dev` takes its arguments as it says, refuses others before it does anything, and says where
# things are only if they are there. Nothing is built or installed: what would do so is replaced.

set -eu

source_root=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

fail ()
{
  echo "$1" >&2
  cat output >&2
  exit 1
}

# dev STATUS ARGUMENT...
dev ()
{
  expected=$1
  shift
  status=0
  ./dev "$@" > output 2>&1 || status=$?
  [ "$status" -eq "$expected" ] || fail "dev $*: status $status and not $expected"
}

says ()
{
  grep -q -e "$1" output || fail "dev does not say: $1"
}

does_not_say ()
{
  ! grep -q -e "$1" output || fail "dev says: $1"
}

cd "$folder"
cp "$source_root/dev" .
thumbnailer=build/demo/docs/examples/thumbnailer/afork-thumbnailer
sheet=build/demo/contact-sheet.png
mkdir -p bin home "${thumbnailer%/*}"

cat > bin/dpkg-query << 'END'
#!/bin/sh
echo ii
END
cat > bin/meson << 'END'
#!/bin/sh
END
for tool in apt-get sudo; do
  printf '#!/bin/sh\necho "%s was called" >&2\nexit 1\n' "$tool" > "bin/$tool"
done

# Draws a sheet unless it is to fail.
cat > "$thumbnailer" << 'END'
#!/bin/sh
printf '<%s>' "thumbnailer" "$@"
echo
for argument; do
  [ "$before" != --contact-sheet ] || sheet=$argument
  [ "$before" != --output ] || mkdir -p "$argument"
  before=$argument
done
[ "$before" != bad ] || exit 1
echo > "$sheet"
END
chmod +x bin/* "$thumbnailer"
export PATH="$folder/bin:$PATH" HOME="$folder/home"
unset XDG_CACHE_HOME

for arguments in 'build x' 'test x' 'perf x' 'perf --update x' 'fuzz abc' 'fuzz 0' 'fuzz -1' \
                 'fuzz 1 2' 'demo --no-such-option' 'demo --size'; do
  # Words of their own, as they are meant.
  dev 2 $arguments
  says 'usage: ./dev'
done
dev 1 no-such-command
dev 0 help
dev 0 demo --help
does_not_say Building

# Elsewhere it looks for the tools themselves.
if [ "$(. /etc/os-release && echo "$ID $VERSION_ID")" != 'debian 12' ]; then
  exit 0
fi

dev 0 demo
says '<--></usr/share/backgrounds/mate/nature>$'
says "^All of them on one page: *$folder/$sheet$"
says "^The thumbnails: *$folder/home/.cache/thumbnails$"
says 'gio info'

dev 0 demo --size normal -j 2 --retry
says '<--size><large><--size><normal><-j><2><--retry>'
says '<--></usr/share/backgrounds/mate/nature>$'

dev 0 demo --output elsewhere 'my pictures' more
says '<--output><elsewhere>.*<--><my pictures><more>$'
says '^The thumbnails: *elsewhere$'
does_not_say 'gio info'

dev 0 demo --contact-sheet other.png pictures
says '^All of them on one page: *other.png$'

[ -e "$sheet" ]
dev 1 demo bad
does_not_say 'on one page'
