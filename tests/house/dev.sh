#!/bin/sh
# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# dev.sh SOURCE-ROOT
#
# Checks that `./dev` accepts the documented arguments, refuses other arguments before it does
# anything, and names the place of a file only if the file exists. On Debian, `./dev` installs
# packages; on other systems, it names them. This test builds and installs nothing: it replaces the
# commands that would do so, and the file that names the system.

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
sed "s,/etc/os-release,$folder/os-release,g" "$source_root/dev" > dev
chmod +x dev
thumbnailer=build/demo/docs/examples/thumbnailer/afork-thumbnailer
sheet=build/demo/contact-sheet.png
mkdir -p bin home "${thumbnailer%/*}"

# system OS-RELEASE...: writes the os-release file that `./dev` reads from now on
system ()
{
  printf '%s\n' "$@" > os-release
}

# packages installed|missing: has dpkg-query report packages, and pkg-config report libraries, as
# installed or missing
packages ()
{
  case $1 in
    installed) state=ii status=0 ;;
    missing) state=un status=1 ;;
  esac
  printf '#!/bin/sh\necho %s\n' "$state" > bin/dpkg-query
  printf '#!/bin/sh\nexit %s\n' "$status" > bin/pkg-config
  chmod +x bin/dpkg-query bin/pkg-config
}

system ID=debian VERSION_ID=12
packages installed

# Prints its arguments. The output for a configuration is in dev-setup.log. The tests of a folder
# have the results in FOLDER.json, or one that passed; and nothing compiles in the folder of the
# file `broken`.
cat > bin/meson << 'END'
#!/bin/sh
echo "meson $*"
name=${3##*/}
case $1 in
  compile)
    [ ! -e broken ] || [ "$name" != "$(cat broken)" ]
    ;;
  test)
    mkdir -p "$3/meson-logs"
    if [ -e "$name.json" ]; then
      cat "$name.json"
    else
      echo '{"name": "afork:c / some", "result": "OK", "stdout": "1..0"}'
    fi > "$3/meson-logs/testlog.json"
    ! grep -q ERROR "$3/meson-logs/testlog.json"
    ;;
esac
END
for tool in apt-get sudo; do
  printf '#!/bin/sh\necho "%s was called" >&2\nexit 1\n' "$tool" > "bin/$tool"
done

printf '#!/bin/sh\necho "npm $*"\nexit 1\n' > bin/npm
printf '#!/bin/sh\n' > bin/node

# Writes a contact sheet, unless an argument has it fail.
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

for arguments in 'build x' 'build --all x' 'docs x' 'docs --check x' \
                 'test x' 'test --all x' 'test --apps x' 'test --slurm x' \
                 'test --remote-long x' \
                 'soak x' 'soak 0' 'soak 1 2' \
                 'check-debian' 'check-debian 12' 'check-debian 11 root' 'check-debian 13 other' \
                 'package' 'package 11' 'package 12 13' \
                 'perf x' 'perf --update x' 'perf --against' 'perf --quick --update' \
                 'perf create --update --quick' 'perf --update --against .' \
                 'fuzz abc' 'fuzz 0' 'fuzz -1' 'fuzz 1 2' 'demo --no-such-option' 'demo --size'; do
  # Not quoted, because each word is an argument.
  dev 2 $arguments
  says 'usage: ./dev'
done
dev 1 no-such-command
dev 0 help
dev 0 demo --help
does_not_say Building

# Each command builds only what it needs.

# configures_with FOLDER OPTION
configures_with ()
{
  grep -q -e " $2\\( \\|$\\)" "build/$1/dev-setup.log" || fail "build/$1 is configured without $2"
}

dev 0 build
says "^meson compile -C $folder/build/gcc library afork-1.vapi$"
configures_with gcc -Ddocs=disabled
configures_with gcc -Dtests=false
dev 0 build --all
says "^meson compile -C $folder/build/gcc$"
configures_with gcc -Ddocs=enabled
configures_with gcc -Dtests=true
dev 0 docs
says "^meson compile -C $folder/build/gcc manual$"
says "^The manual: *$folder/build/gcc/docs/afork-1/index.html$"
configures_with gcc -Ddocs=enabled
configures_with gcc -Dtests=false
dev 0 docs --check
says "^meson compile -C $folder/build/gcc$"
says '^meson test .* --suite docs --suite browser$'
says "^Pictures of its pages: *$folder/build/gcc/tests/manual$"
configures_with gcc -Ddocs=enabled
configures_with gcc -Dtests=true
touch build/gcc/build.ninja
dev 0 build
says "^meson compile -C $folder/build/gcc library afork-1.vapi$"
configures_with gcc --reconfigure
! grep -q -e -Dtests=false build/gcc/dev-setup.log || fail 'dev build: the folder loses its tests'

# The arguments of the benchmarks.

dev 2 perf --quick --update
says 'a quick run has too few rounds for docs/costs.md'
dev 2 perf --update --against .
says 'a comparison does not go into docs/costs.md'
dev 1 perf --against home
says 'home is not a checkout of AFork'
[ ! -e build/perf ] || fail 'dev perf: builds before it looks at what it is told'

mkdir -p tests/perf docs 'an older tree/afork'
touch 'an older tree/meson.build'
cat > tests/perf/perf.py << 'END'
import pathlib, sys
arguments = sys.argv[1:]
print('perf', *arguments)
programs = pathlib.Path(arguments[arguments.index('--programs') + 1])
programs.mkdir(parents=True, exist_ok=True)
for suite in ('create', 'exec'):
    (programs / f'{suite}.svg').write_text(f'plot of {suite}')
END
programs=$folder/build/perf/tests/perf
suites='calls confinement create exec first-byte gjs pending pool python remote thumbnails values'

dev 0 perf
says "^meson compile -C $folder/build/perf benchmarks$"
says "^perf --programs $programs $suites$"
says "^All numbers, and a plot: *$programs/values.{json,svg}$"
says "^npm install --prefix $programs .* piscina@4$"
says '^npm cannot install piscina'
dev 0 perf --quick exec
does_not_say npm
says "^perf --programs $programs --quick exec$"
says "^All numbers, and a plot: *$programs/exec-quick.{json,svg}$"
[ -z "$(ls docs)" ] || fail 'dev perf: changes the manual without being told'
dev 0 perf --update create exec
says "^perf --programs $programs --page $folder/docs/costs.md create exec$"
[ "$(cat docs/exec.svg)" = 'plot of exec' ] || fail 'dev perf --update: no plot in docs'
rm docs/*.svg

# Each checkout is built in its own folder, with the same options.
dev 0 perf --quick --against 'an older tree' create
other="$folder/an older tree/build/perf"
says "^meson compile -C $folder/build/perf benchmarks$"
says "^meson compile -C $other afork-1:shared_library afork-server:executable$"
says "^perf --programs $programs --quick --against $other create$"
says "^All numbers: *$programs/against.json$"
[ -z "$(ls docs)" ] || fail 'dev perf --against: changes the manual'
sed "s,$folder/build/perf $folder ,," build/perf/dev-setup.log > expected
sed "s,$other $folder/an older tree ,," "$other/dev-setup.log" > output
cmp expected output || fail 'dev perf --against: the trees are not configured alike'
touch meson.build
mkdir afork
dev 0 perf --against .
says "^perf --programs $programs --against $folder/build/perf $suites$"

dev 0 demo
says "^meson compile -C $folder/build/demo thumbnailer$"
says '<--></usr/share/backgrounds/mate/nature>$'
says "^All of them on one page: *$folder/$sheet$"
says "^The thumbnails: *$folder/home/.cache/thumbnails$"
says 'gio info'

dev 0 demo --size normal -j 2 --retry
says '<--size><large><--size><normal><-j><2><--retry>'
says '<--></usr/share/backgrounds/mate/nature>$'

dev 0 demo --fresh --first 'one picture' --max-memory 200 pictures
says '<--fresh><--first><one picture><--max-memory><200>.*<--><pictures>$'

dev 0 demo --output elsewhere 'my pictures' more
says '<--output><elsewhere>.*<--><my pictures><more>$'
says '^The thumbnails: *elsewhere$'
does_not_say 'gio info'

dev 0 demo --contact-sheet other.png pictures
says '^All of them on one page: *other.png$'

[ -e "$sheet" ] || fail 'dev demo: removes its sheet when it is to write another'
dev 1 demo bad
does_not_say 'on one page'

# Totals, and what failed in which build.

echo clang > broken
cat > gcc.json << 'END'
{"name": "afork:c / some", "result": "OK", "stdout": "ok 1 a\nok 2 b # SKIP\n1..2\n"}
{"name": "afork:c / aborts", "result": "ERROR", "stdout": "ok 1 a\n1..2\n", "stderr": "ends\n"}
{"name": "afork:c / fails", "result": "ERROR", "stdout": "ok 1 a\nnot ok 2 b\nnot ok 3\n1..3\n"}
{"name": "afork:house / plain", "result": "OK", "stdout": ""}
{"name": "afork:python / hangs", "result": "TIMEOUT", "stdout": ""}
END
cat > sanitize.json << 'END'
{"name": "afork:c / some", "result": "OK", "stdout": "ok 1 a\n1..1\n"}
END
dev 1 test
sed '1,/  Total$/d' output > total
cat > expected << END
FAILED: in build/gcc:
  aborts: ERROR
    ok 1 a
    1..2
    ends
  fails: ERROR
    not ok 2 b
    not ok 3
    ok 1 a
    not ok 2 b
    not ok 3
    1..3
  hangs: TIMEOUT
FAILED: the build in build/clang; see dev-setup.log and dev-compile.log there
5 passed, 5 failed, 1 skipped
END
cmp expected total || fail 'dev test: another total'
echo '{' > sanitize.json
dev 1 test
says '^FAILED: in build/sanitize:$'
says '^  .*testlog.json, which cannot be read$'
rm broken ./*.json

# Missing packages.

packages missing
for version in 12 13; do
  system ID=debian "VERSION_ID=\"$version\""
  dev 1 demo pictures
  says '^== Installing .*libglib2.0-dev'
  says 'was called'
done

system ID=fedora VERSION_ID=43
dev 1 demo pictures
says '^  sudo dnf install .*gdk-pixbuf2-devel .*glib2-devel'
system ID=endeavouros ID_LIKE=arch
dev 1 demo pictures
says '^  sudo pacman -S --needed .*gdk-pixbuf2 .*glib2-devel'
system ID=ubuntu 'ID_LIKE="debian"' VERSION_ID=24.04
dev 1 demo pictures
says '^  sudo apt-get install .*libgdk-pixbuf-2.0-dev .*libglib2.0-dev'
system ID=other
dev 1 demo pictures
says 'which Debian calls: .*libglib2.0-dev'
does_not_say 'was called'

# Each package has a name on each other system.
names ()
{
  sed -n "/^$1='$/,/^'$/p" dev | sed '1d;$d'
}
names packages | awk '{ print $2 }' | sort -u > used
names names | awk 'NF == 3 { print $1 }' > named
diff used named > output || fail 'these packages are not named once each, in order:'
