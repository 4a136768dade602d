"""nginx, unmodified, inside a pod."""

from tests.support.mesh import wait_for


def start(pod, server, path, answer):
    """`server`: the lines of its server block but for the root, which is the pod's folder `html`. Returns when GET `path` at port 80
    is answered with `answer`."""
    temporary = '\n'.join(f'  {name}_temp_path {pod.folder}/{name};' for name in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
    with open(f'{pod.folder}/nginx.conf', 'w') as file:
        file.write(f"""\
pid {pod.folder}/nginx.pid;
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off;
{temporary}
  keepalive_timeout 300s;
  send_timeout 300s;
  server {{
    root {pod.folder}/html;
{server}
  }}
}}
""")
    pod.spawn('nginx', ['/usr/sbin/nginx', '-e', 'stderr', '-c', f'{pod.folder}/nginx.conf', '-g', 'daemon off;'])
    wait_for('nginx listens', lambda: pod.run(['curl', '-s', f'http://127.0.0.1{path}']).stdout.strip() == answer)
