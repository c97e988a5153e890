# Prometheus and promtool of this machine, with the libraries that they link, where
# the public image has them too. Built by deploy/build-images.sh, from the root of
# the repository.
FROM scratch
COPY bin/prometheus-root /
# An empty directory gives the volume mounted there its owner.
COPY --chown=65534:65534 bin/empty /prometheus
# Names are looked up by the program itself: there is no libc to ask.
ENV PATH=/bin GODEBUG=netdns=go
USER 65534:65534
WORKDIR /prometheus
EXPOSE 9090
VOLUME /prometheus
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
