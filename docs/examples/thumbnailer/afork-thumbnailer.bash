# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

# Completes the command line of afork-thumbnailer in bash.

_afork_thumbnailer ()
{
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local options='--size --jobs --output --contact-sheet --retry --first --fresh --max-memory
    --clean --timeout --unconfined --module --host --quiet --verbose --version --help'

  # "--size=large" is three words here.
  if [ "$current" = = ]; then
    current=''
  elif [ "$previous" = = ]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  fi

  case $previous in
    -s | --size)
      mapfile -t COMPREPLY < <(compgen -W 'normal large x-large xx-large' -- "$current") ;;
    -o | --output)
      mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    -H | --host)
      mapfile -t COMPREPLY < <(compgen -A hostname -- "$current") ;;
    -j | --jobs | -M | --max-memory | -t | --timeout)
      COMPREPLY=() ;;
    *)
      case $current in
        -*) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current") ;;
        *) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
      esac ;;
  esac
}

complete -o filenames -F _afork_thumbnailer afork-thumbnailer
